// Package phrase turns 24 words into a seed and back (BIP39).
package phrase
