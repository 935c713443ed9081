// Package chunk cuts contents into chunks.
package chunk
