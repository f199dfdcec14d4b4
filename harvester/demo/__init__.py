"""The platform in miniature: serves made-up calls on 127.0.0.1, and misbehaves on request."""
