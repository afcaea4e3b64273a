"""The one gate: layers in order, a Permit or a refusal."""
