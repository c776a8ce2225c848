"""How fast the encoder is, against AllenNLP's and against the machine."""
