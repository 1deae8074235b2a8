//! What the data is: types, keys, cells, rows, mutations and how they merge, schema, limits, and the traits for the world outside.
