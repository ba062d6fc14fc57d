package mesh

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Action is one setting of all knobs: their values, knob by knob in the order
// of their space. For the paper's mesh (p11, p12, p21, p22, b1, b2).
type Action []float64

// Clone returns a copy that shares nothing with a.
func (a Action) Clone() Action { return append(Action(nil), a...) }

// Space is what can be controlled in a mesh: its knobs, and the actions that
// they span, the product of the knobs' points (paper, Section IV). Actions are
// told by a choice, the number of a point for each knob, and where there are at
// most MaxInt of them also by a number: the enumeration has the last knob
// running fastest. For the paper's mesh that is 6^4 = 1296 actions.
type Space struct {
	layout  *Layout
	knobs   []KnobAt
	width   int // values of an action
	choices []int
	size    int // MaxInt where there are more
	log     float64
	actions []Action // all of them, where there are at most maxEnumerated

	limits       []limitAt   // see Limited
	slow         bool        // whether any knob is
	route, block []int       // knob of each call and service, -1 for none
	even         [][]float64 // shares of each call's nodes without a knob
}

const maxEnumerated = 1 << 16

// NewSpace returns the space that knobs span in mesh m. Its error lists all that
// is wrong with either.
func NewSpace(m Mesh, knobs ...Knob) (*Space, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	s := &Space{layout: m.Layout(), size: 1}
	seen := map[string]bool{}
	var all []error
	for n, k := range knobs {
		list, err := k.expand(s.layout)
		if err != nil {
			all = append(all, fmt.Errorf("mesh: knob %d: %w", n+1, err))
			continue
		}
		for _, at := range list {
			if seen[at.Name] {
				all = append(all, fmt.Errorf("mesh: knob %d: %s of %s is there twice", n+1, at.Kind, nameOf(s.layout, at.Info.Scope, at.Of)))
			}
			seen[at.Name] = true
			at.First = s.width
			s.width += at.Width()
			s.knobs = append(s.knobs, at)
		}
	}
	if err := joined(all); err != nil {
		return nil, err
	}
	if len(s.knobs) == 0 {
		return nil, errNoKnob
	}
	for _, c := range s.layout.Calls {
		s.route = append(s.route, -1)
		s.even = append(s.even, even(len(c.Nodes)))
	}
	for range m.Services {
		s.block = append(s.block, -1)
	}
	for h := range s.knobs {
		k := &s.knobs[h]
		s.slow = s.slow || k.Slow()
		switch k.Kind {
		case Route:
			s.route[k.Of] = h
		case Block:
			s.block[k.Of] = h
		}
		n := len(k.Points)
		s.choices = append(s.choices, n)
		s.log += math.Log10(float64(n))
		if s.size > math.MaxInt/n {
			s.size = math.MaxInt
		} else {
			s.size *= n
		}
	}
	if s.size <= maxEnumerated {
		s.actions = make([]Action, s.size)
		for k := range s.actions {
			s.actions[k] = s.Action(nil, s.Choice(nil, k))
		}
	}
	return s, nil
}

// Grid returns the space of routing every call and blocking every service at
// the given number of levels; 0 means 6. It panics where NewSpace has an error.
func Grid(m Mesh, levels int) *Space {
	s, err := NewSpace(m, Knob{Kind: Route, Levels: levels}, Knob{Kind: Block, Levels: levels})
	if err != nil {
		panic(err.Error())
	}
	return s
}

// Mesh is the mesh that is controlled.
func (s *Space) Mesh() Mesh { return s.layout.Mesh }

// Layout numbers the mesh's parts.
func (s *Space) Layout() *Layout { return s.layout }

// Knobs are the knobs, in the order of an action's values.
func (s *Space) Knobs() []KnobAt { return s.knobs }

// Width is the number of values of an action.
func (s *Space) Width() int { return s.width }

// Len is the number of actions, those over a limit included; MaxInt where there are
// more.
func (s *Space) Len() int { return s.size }

// Size is the number of actions for people: "1296", "1.27e+10". Those over a limit
// are not counted, or in a space of more than a million said to be.
func (s *Space) Size() string {
	switch {
	case s.limits != nil && s.size <= maxCounted:
		return fmt.Sprint(len(s.Numbers()))
	case s.limits != nil:
		free := *s
		free.limits = nil
		return "at most " + free.Size()
	case s.size < 1e7:
		return fmt.Sprint(s.size)
	}
	e := math.Floor(s.log)
	return fmt.Sprintf("%.3ge+%.0f", math.Pow(10, s.log-e), e)
}

// Choices are the numbers of points of each knob, the shape of a MultiDiscrete
// action: [6 6 6 6] for the paper's mesh.
func (s *Space) Choices() []int { return s.choices }

// Columns are the names of an action's values: p11 p12 p21 p22 b1 b2 for the
// paper's mesh.
func (s *Space) Columns() []string {
	var names []string
	for _, k := range s.knobs {
		names = append(names, k.Columns...)
	}
	return names
}

// String identifies mesh and knobs: what a file's actions mean, whatever their
// points and limits are.
func (s *Space) String() string {
	return s.Mesh().String() + "; " + strings.Join(s.Columns(), " ")
}

// Same reports whether actions of o mean the same as those of s.
func (s *Space) Same(o *Space) bool { return s == o || s.String() == o.String() }

// At returns action k of the enumeration; it is shared and must not be changed.
// It panics when k is out of range, and in a space of more than MaxInt actions.
func (s *Space) At(k int) Action {
	if k < 0 || k >= s.size || s.size == math.MaxInt {
		panic(fmt.Sprintf("mesh: action %d of a space of %s", k, s.Size()))
	}
	if s.actions != nil {
		return s.actions[k]
	}
	return s.Action(nil, s.Choice(nil, k))
}

// Action writes the values of a choice to dst, which is allocated when nil. It
// panics when a choice is out of range.
func (s *Space) Action(dst Action, choice []int) Action {
	if len(choice) != len(s.knobs) {
		panic(fmt.Sprintf("mesh: %d choices for %d knobs", len(choice), len(s.knobs)))
	}
	if dst == nil {
		dst = make(Action, s.width)
	}
	for h := range s.knobs {
		k := &s.knobs[h]
		if choice[h] < 0 || choice[h] >= len(k.Points) {
			panic(fmt.Sprintf("mesh: choice %d of knob %s, which has %d", choice[h], k.Name, len(k.Points)))
		}
		copy(dst[k.First:], k.Points[choice[h]])
	}
	return dst
}

// Choice writes the choice of each knob in action k of the enumeration to dst,
// which is allocated when nil.
func (s *Space) Choice(dst []int, k int) []int {
	if dst == nil {
		dst = make([]int, len(s.choices))
	}
	for h := len(s.choices) - 1; h >= 0; h-- {
		dst[h] = k % s.choices[h]
		k /= s.choices[h]
	}
	return dst
}

// FromChoice returns the number of the action with the given choice of each
// knob. It panics when a choice is out of range.
func (s *Space) FromChoice(choice []int) int {
	if len(choice) != len(s.choices) {
		panic(fmt.Sprintf("mesh: %d choices for %d knobs", len(choice), len(s.choices)))
	}
	k := 0
	for h, c := range choice {
		if c < 0 || c >= s.choices[h] {
			panic(fmt.Sprintf("mesh: choice %d of knob %s, which has %d", c, s.knobs[h].Name, s.choices[h]))
		}
		k = k*s.choices[h] + c
	}
	return k
}

// ChoiceOf writes the choice that action a is to dst, which is allocated when
// nil, and reports false where a is not one of the space's.
func (s *Space) ChoiceOf(dst []int, a Action) ([]int, bool) {
	if dst == nil {
		dst = make([]int, len(s.choices))
	}
	if len(a) != s.width {
		return dst, false
	}
	for h := range s.knobs {
		if dst[h] = s.knobs[h].Index(s.knobs[h].Values(a)); dst[h] < 0 {
			return dst, false
		}
	}
	return dst, true
}

// Index returns the number of action a, and false when it is not in the space.
func (s *Space) Index(a Action) (int, bool) {
	var buf [16]int
	dst := buf[:]
	if len(s.choices) > len(buf) {
		dst = make([]int, len(s.choices))
	}
	choice, ok := s.ChoiceOf(dst[:len(s.choices)], a)
	if !ok {
		return 0, false
	}
	return s.FromChoice(choice), true
}

// Nearest returns the choice that is closest to action a, knob by knob: weights
// by largest remainder, other values rounded; one over a limit as Fit changes it.
// It panics for an action whose values are none of their knobs'.
func (s *Space) Nearest(a Action) []int {
	if err := s.ValidateInForce(a); err != nil {
		panic(err.Error())
	}
	choice := make([]int, len(s.knobs))
	for h := range s.knobs {
		choice[h] = s.knobs[h].Nearest(s.knobs[h].Values(a))
	}
	return s.Fit(choice)
}

// Default is the action that leaves the mesh as it is without knobs: it blocks
// nothing and spreads the requests of every call evenly. It need not be on the
// grid: Nearest gives the closest that is. Where that is over a limit, it is as
// Clamp changes it.
func (s *Space) Default() Action {
	a := make(Action, s.width)
	for h := range s.knobs {
		k := &s.knobs[h]
		if k.Info.Default != nil {
			copy(a[k.First:], k.Info.Default(k.Knob, k.Width()))
		} else {
			copy(a[k.First:], k.Points[k.Default])
		}
	}
	return s.Clamp(a)
}

// Validate reports the first value of a that is not one of its knob's kind, a wrong
// number of them, or a limit that they are over. Values need not be points of the
// space.
func (s *Space) Validate(a Action) error {
	if err := s.ValidateInForce(a); err != nil || s.limits == nil {
		return err
	}
	return s.checkLimits(a)
}

// ValidateInForce is Validate without the limits, which bound what is asked for: what
// is in force may be over them for as long as values take to go down.
func (s *Space) ValidateInForce(a Action) error {
	if len(a) != s.width {
		return fmt.Errorf("mesh: action of %d values; %s takes %d: %s", len(a), s.Mesh(), s.width, strings.Join(s.Columns(), " "))
	}
	for h := range s.knobs {
		k := &s.knobs[h]
		if err := k.check(k.Values(a)); err != nil {
			return fmt.Errorf("mesh: action: %s of %s: %w", k.Name, nameOf(s.layout, k.Info.Scope, k.Of), err)
		}
	}
	return nil
}

// Format prints the values that determine an action: "p11=0.4 p21=0 b1=0 b2=0.2"
// for the paper's mesh.
func (s *Space) Format(a Action) string {
	var b strings.Builder
	for h := range s.knobs {
		k := &s.knobs[h]
		for j := range k.Free {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			fmt.Fprintf(&b, "%s=%.4g", k.Columns[j], a[k.First+j])
		}
	}
	return b.String()
}

// Find is the number of the knob of a kind that belongs to a call, service or
// node, -1 where there is none.
func (s *Space) Find(kind Kind, of int) int {
	for h := range s.knobs {
		if s.knobs[h].Kind == kind && s.knobs[h].Of == of {
			return h
		}
	}
	return -1
}

// Value is the first value of the knob of a kind and part of the mesh in action
// a, or otherwise where there is no such knob.
func (s *Space) Value(a Action, kind Kind, of int, otherwise float64) float64 {
	if h := s.Find(kind, of); h >= 0 {
		return a[s.knobs[h].First]
	}
	return otherwise
}

// RouteOf are the shares of call c's requests that its nodes get under action a:
// even ones where the call has no knob.
func (s *Space) RouteOf(a Action, c int) []float64 {
	if h := s.route[c]; h >= 0 {
		return s.knobs[h].Values(a)
	}
	return s.even[c]
}

// BlockOf is the share of service i's requests that are turned away under action
// a: none where it has no knob.
func (s *Space) BlockOf(a Action, i int) float64 {
	if h := s.block[i]; h >= 0 {
		return a[s.knobs[h].First]
	}
	return 0
}

// Reaches reports whether (load, a) sends any request to endpoint e.
func (s *Space) Reaches(load Load, a Action, e int) bool {
	at := s.layout.Endpoints[e]
	i := s.layout.Calls[at.Call].Service
	return load[i] > 0 && s.BlockOf(a, i) < 1 && s.RouteOf(a, at.Call)[e-s.layout.Calls[at.Call].First] > 0
}

// Cost is what the values of action a cost, per s.
func (s *Space) Cost(a Action) float64 {
	sum := 0.0
	for h := range s.knobs {
		if k := &s.knobs[h]; k.Cost != 0 {
			for _, v := range k.Values(a) {
				sum += float64(k.Cost * v)
			}
		}
	}
	return sum
}

// Slow reports whether any knob takes its time or moves by increments.
func (s *Space) Slow() bool {
	return s.slow
}

// Longest is the longest time in s that a knob takes to come into force; 0 where
// none takes any.
func (s *Space) Longest() float64 {
	longest := 0.0
	for h := range s.knobs {
		longest = max(longest, s.knobs[h].Up, s.knobs[h].Down)
	}
	return longest
}

// Asked writes what was asked for to dst, which is allocated when nil: the
// action in force, but for knobs that are on their way, of which the last of
// each is where it goes.
func (s *Space) Asked(dst, inForce Action, pending []Pending) Action {
	dst = append(dst[:0], inForce...)
	for _, p := range pending {
		k := &s.knobs[p.Knob]
		copy(k.Values(dst), k.Points[p.Point])
	}
	return dst
}

// Paid is what is paid per s while inForce is in force and pending on its way:
// a value on its way up is paid from when it is asked for, one on its way down
// until it is there.
func (s *Space) Paid(inForce Action, pending []Pending) float64 {
	sum := s.Cost(inForce)
	for h := range s.knobs {
		k := &s.knobs[h]
		if k.Cost == 0 {
			continue
		}
		for j, v := range k.Values(inForce) {
			top := v
			for _, p := range pending {
				if p.Knob == h {
					top = max(top, k.Points[p.Point][j])
				}
			}
			sum += float64(k.Cost * (top - v))
		}
	}
	return sum
}

// Allowed writes which points knob h may go to from what was asked for last,
// which nil leaves free, to dst, of the knob's number of points.
func (s *Space) Allowed(dst []bool, h int, asked Action) {
	k := &s.knobs[h]
	from := -1
	if k.Step > 0 && asked != nil {
		from = k.Nearest(k.Values(asked))
	}
	for u := range dst {
		dst[u] = from < 0 || u-from <= k.Step && from-u <= k.Step
	}
}

// Allowed are the choices that may be made in a state.
type Allowed struct {
	// Points are those that each knob may go to, whatever the others do.
	Points [][]bool
	space  *Space
}

// AllowedIn returns the choices that may be made in a state: those within the
// limits that the knobs may go to from what was asked for last, all of them where
// nothing was, and where what was asked for is so far over a limit that none of
// its neighbours is within, all within the limits.
func (s *Space) AllowedIn(st State) Allowed {
	var asked Action
	if st.InForce != nil {
		asked = s.Asked(nil, st.InForce, st.Pending)
	}
	allowed := Allowed{make([][]bool, len(s.knobs)), s}
	for h, n := range s.choices {
		allowed.Points[h] = make([]bool, n)
		s.Allowed(allowed.Points[h], h, asked)
	}
	if s.limits != nil && s.slow {
		if first := make([]bool, s.choices[0]); !slices.Contains(allowed.Given(first, nil), true) {
			for h := range allowed.Points {
				s.Allowed(allowed.Points[h], h, nil)
			}
		}
	}
	return allowed
}

// Has reports whether a choice may be made.
func (a Allowed) Has(choice []int) bool {
	for h, u := range choice {
		if !a.Points[h][u] {
			return false
		}
	}
	return a.space.Fits(choice)
}

// Moves are the choices that may be made with knob h of a choice at point u: that
// with nothing else changed, or where it is over a limit those in which one other
// knob that is counted goes down as far as it must.
func (a Allowed) Moves(choice []int, h, u int) [][]int {
	moved := slices.Clone(choice)
	moved[h] = u
	if a.Has(moved) {
		return [][]int{moved}
	}
	if !a.Points[h][u] || a.space.Fits(moved) {
		return nil
	}
	var all [][]int
	for o := range moved {
		if o == h || !slices.ContainsFunc(a.space.limits, func(l limitAt) bool { return slices.Contains(l.knobs, o) }) {
			continue
		}
		best, points := -1, a.space.knobs[o].Points
		for v, p := range points {
			moved[o] = v
			if p[0] < points[choice[o]][0] && (best < 0 || p[0] > points[best][0]) && a.Has(moved) {
				best = v
			}
		}
		if moved[o] = choice[o]; best >= 0 {
			other := slices.Clone(moved)
			other[o] = best
			all = append(all, other)
		}
	}
	return all
}

// Given writes which points knob h may go to, where those before it go to first, to
// dst, of the knob's number of points: those from which the knobs after it can
// still be set within the limits.
func (a Allowed) Given(dst []bool, first []int) []bool {
	h := len(first)
	copy(dst, a.Points[h])
	for i := range a.space.limits {
		l := &a.space.limits[i]
		at, rest := -1, l.Most+limitTolerance
		for n, k := range l.knobs {
			switch {
			case k < h:
				rest -= l.value[n][first[k]]
			case k == h:
				at = n
			default:
				least := math.Inf(1)
				for u, ok := range a.Points[k] {
					if ok {
						least = min(least, l.value[n][u])
					}
				}
				rest -= least
			}
		}
		for u := range dst {
			dst[u] = dst[u] && (at < 0 && rest >= 0 || at >= 0 && l.value[at][u] <= rest)
		}
	}
	return dst
}

// FeatureNames lists the inputs of a system model (paper, Eq. 5): l_1..l_m, then
// the values of each knob that determine the rest. For the paper's mesh l1 l2
// p11 p21 b1 b2.
func (s *Space) FeatureNames() []string {
	var names []string
	for i := range s.Mesh().M() {
		names = append(names, s.Mesh().LoadName(i))
	}
	for _, k := range s.knobs {
		names = append(names, k.Columns[:k.Free]...)
	}
	return names
}

// Features appends the inputs of a system model for (load, a) to dst, in the
// order of FeatureNames.
func (s *Space) Features(dst []float64, load Load, a Action) []float64 {
	dst = append(dst, load...)
	for h := range s.knobs {
		k := &s.knobs[h]
		dst = append(dst, a[k.First:k.First+k.Free]...)
	}
	return dst
}

// Split turns the inputs of a system model into what they are made of. The last
// weight of a call is what the others leave.
func (s *Space) Split(in []float64) (Load, Action) {
	m := s.Mesh().M()
	a, at := make(Action, s.width), m
	for h := range s.knobs {
		k := &s.knobs[h]
		at += copy(a[k.First:], in[at:at+k.Free])
		if k.Free < k.Width() {
			last := 1.0
			for _, p := range a[k.First : k.First+k.Free] {
				last -= p
			}
			if last < 1e-9 { // 1-.6-.4 is not 0
				last = 0
			}
			a[k.First+k.Free] = last
		}
	}
	return Load(in[:m:m]), a
}

// spaceFile is a space in a file.
type spaceFile struct {
	Mesh   Mesh    `json:"mesh"`
	Knobs  []Knob  `json:"knobs"`
	Limits []Limit `json:"limits,omitempty"`
}

// MarshalJSON writes mesh and knobs, for files whose actions are the space's.
func (s *Space) MarshalJSON() ([]byte, error) {
	f := spaceFile{Mesh: s.Mesh(), Limits: s.Limits()}
	for h := range s.knobs {
		k := s.knobs[h].Knob
		m := s.Mesh()
		switch of := s.knobs[h].Of; s.knobs[h].Info.Scope {
		case PerCall:
			c := s.layout.Calls[of]
			k.Service, k.Call = m.Services[c.Service].Name, s.layout.Microservices[c.Microservice]
		case PerService:
			k.Service = m.Services[of].Name
		default:
			k.Node = m.Nodes[of].Name
		}
		if s.knobs[h].given {
			k.Points = s.knobs[h].Points
		}
		f.Knobs = append(f.Knobs, k)
	}
	return json.Marshal(f)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Space) UnmarshalJSON(b []byte) error {
	var f spaceFile
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	got, err := NewSpace(f.Mesh, f.Knobs...)
	if err == nil {
		got, err = got.Limited(f.Limits...)
	}
	if err == nil {
		*s = *got
	}
	return err
}
