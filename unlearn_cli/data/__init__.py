"""From files and Hub data sets to rows of token ids."""
