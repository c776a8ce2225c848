"""Getting published weights and data: addresses, downloads that resume and are checked, archives."""
