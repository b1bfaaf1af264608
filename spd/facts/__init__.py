"""Published facts as data: what the poster and the data sets' owners state, to compare with what is found."""
