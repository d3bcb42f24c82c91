"""Draw contact sheets and animated previews."""
