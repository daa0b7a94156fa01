package retrieval

import "math"

// IDF is BM25's weight of a term that df of n passages hold:
// ln(1 + (n − df + 0.5)/(df + 0.5)), the form that is never negative (as in
// Lucene's BM25Similarity; DESIGN §5). n and df count the permitted and
// filtered passages only.
func IDF(n, df int) float64 {
	return math.Log(1 + (float64(n-df)+0.5)/(float64(df)+0.5))
}

// BM25 is what one term adds to a passage's score (Robertson and Zaragoza,
// "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, eq. 3.15,
// with the factor k1 + 1; DESIGN §5):
//
//	idf · tf·(k1 + 1) / (tf + k1·(1 − b + b·dl/avgdl))
//
// tf is how often the term stands in the passage, dl the passage's length,
// avgdl the mean length of the permitted and filtered passages, above 0. The
// terms of a query are added in the byte order of the terms. Conversions
// forbid fused multiplication and addition, see Cosine.
func BM25(tf, dl, avgdl, idf float64) float64 {
	norm := 1 - BM25B + float64(BM25B*dl/avgdl)
	return idf * tf * (BM25K1 + 1) / (tf + float64(BM25K1*norm))
}
