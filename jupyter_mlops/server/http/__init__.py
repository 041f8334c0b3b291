"""HTTP on the wire: llhttp parses, asyncio reads and writes, Tornado's application answers."""
