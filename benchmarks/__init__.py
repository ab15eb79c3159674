"""Studies that measure what rgdm claims, their results as data, and the pages made of them."""
