"""The LlamaCloud API: HTTP, endpoints, run lists, raw records. No dlt, no Arrow."""
