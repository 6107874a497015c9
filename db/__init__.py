"""Tables, sessions and queries; nothing decides here."""
