"""The wire format of Anthropic's messages API: requests and streamed replies."""
