"""The two stages, PEOPLE and OFFERS, and the engines that drive them."""
