"""The task that finds the people of an image, and the joints of each."""
