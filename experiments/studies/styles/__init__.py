"""Study: trained styles against words and the bare base."""
