"""Oxios' agents for clients of OpenAI's API: its forms, and turns of sessions behind them."""
