package retrieval

// PassageIDs are the public names of a version's passages.
func PassageIDs(r *DocRow) []string {
	ids := make([]string, r.Passages)
	for n := range ids {
		ids[n] = passageID(PassageRef{r.Num, uint32(n)})
	}
	return ids
}
