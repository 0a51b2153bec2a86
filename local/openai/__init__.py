"""The OpenAI and Telegram stand-in, a module per concept; ``local.openai_server`` starts it."""
