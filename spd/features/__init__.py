"""Feature maps of a backbone's stages, extracted once per backbone and image cache, for every detector."""
