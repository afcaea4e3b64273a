"""The wire format of OpenAI-compatible chat completions: requests, streamed replies, refusals."""
