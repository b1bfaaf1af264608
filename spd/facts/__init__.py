"""Published facts as data: what the poster and the data sets' owners state, to be compared with what is found here."""
