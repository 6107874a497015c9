"""HTTP only: the FastAPI application, its routes, schemas and problems."""
