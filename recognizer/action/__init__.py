"""The task that names what people do, by how their joints move."""
