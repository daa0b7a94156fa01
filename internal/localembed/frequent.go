package localembed

import "strings"

// frequent are words that are grammar rather than subject, in the languages
// that most first collections are in. They weigh an eighth: a list, since the
// embedder sees one text at a time and can count no frequencies.
var frequent = listed(`
a about above after again against all also am an and any are as at be because been before being below between both
but by can could did do does doing down during each either few for from further get had has have having he her here
hers him his how i if in into is it its itself just like may me might more most much must my neither no nor not now of
off on once one only or other our out over own please same shall she should since so some such than that the their
them then there these they this those through thus to too two under until up upon us use used using very was we were
what when where which while who whom whose why will with within without would yet you your
aber als am an auch auf aus bei bin bis das dass dem den der des die dies diese ein eine einem einen einer eines er es
für hat hatte ich ihr ihre im in ist ja kann mit nach nicht noch nur oder sein sich sie sind so über um und uns unter
vom von vor war was weil wenn wer wie wir wird wo zu zum zur
au aux avec ce ces cette comme dans de des du elle en est et il ils je la le les leur lui mais ne nous on ou où par pas
plus pour que qui sa se ses son sont sur un une vous
al como con del desde el ella ellos en era es esta este fue ha la las lo los más muy no nos o para pero por que se sin
sobre son su sus un una y ya
`)

func listed(words string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(words) {
		set[w] = true
	}
	return set
}
