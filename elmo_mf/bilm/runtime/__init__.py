"""The ways in which the projected LSTM runs in inference."""
