"""The gold tables: how they follow silver, and the assets that make them."""
