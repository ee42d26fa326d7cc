"""How AVGN is trained (3.4): its pass, its losses, its recipe."""
