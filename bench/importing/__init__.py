"""How many texts a second a server embeds, by length, model and cores: what Weaviate's imports need to know."""
