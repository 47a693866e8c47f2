"""Model families and their codecs. A family knows no data set."""
