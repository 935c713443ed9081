// Package token signs and checks lease tokens and receipts.
package token
