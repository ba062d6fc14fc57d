// Package forest is multi-output random-forest regression (Breiman, "Random
// Forests", Machine Learning 45, 2001): bootstrap, full-depth regression trees
// that reduce the variance summed over all outputs, and the mean over trees.
//
// It learns the system model (offered loads, action) -> delays. Next to the
// mean it gives what a study of such a model needs: quantiles (quantile
// regression forest; Meinshausen, "Quantile Regression Forests", JMLR 7, 2006),
// the training rows behind a prediction, out-of-bag scores, permutation
// importance, and predictions over whole grids of inputs.
//
// Trees are those of scikit-learn's RandomForestRegressor: the same splits,
// the same thresholds (midpoints between neighbouring distinct values of the
// node), ties between features broken at random. Features are never binned
// lossily.
//
// # How a fit goes
//
//	x, y ──► levels, codes ──► cells ──► per tree: items ──► splits ──► nodes
//	         training.go       cells.go  grow.go    dense.go or sorted.go  build.go
//
// Each input becomes a code, its rank among the distinct values (levels) of its
// feature. Rows of equal inputs, which no split can part, form a cell. For each
// tree, a bootstrap sample that follows from the seed and the tree's number alone
// says how often each row counts; what it has of a cell is an item. So any number
// of workers gives the same forest.
//
// Targets are centred and rounded to whole numbers, whose sums stay below 2^52 (a
// resolution of 2^-37 of the largest centred value for 31,740 rows). Such sums
// are exact: they do not depend on their order, and subtracting leaves no trace.
// Only splits use them; leaf means use the targets as given.
//
// One driver (grow.go) grows all trees depth first and asks a splitter for the
// best split of each node. There are two:
//
//   - dense, for at most 8 features with 256 levels together and 4 outputs: the
//     published trace, and simulated ones. A node has a histogram of its items
//     over all levels, and a child's is its parent's less its sibling's. A subtree
//     of up to 64 items is grown as a part (part.go), whose nodes are sets of
//     items in one word.
//   - sorted, for all other data, features drawn at random and random thresholds.
//     It keeps the items in the order of each feature and goes through them once.
//
// On the same data both give the same trees. Dense is there for speed: it fits the
// published trace in a quarter of the time (BenchmarkFitPublished); without parts
// it would take twice as long.
//
// # A tree in memory
//
// A node is one word, and a tree a slice of them in breadth-first order; the
// children of a node are neighbours:
//
//	63            40 39     32 31                    0
//	┌───────────────┬─────────┬───────────────────────┐
//	│ cut           │ feature │ left child            │   a split
//	├───────────────┼─────────┼───────────────────────┤
//	│ all ones      │ 255     │ value                 │   a leaf
//	└───────────────┴─────────┴───────────────────────┘
//
// The cut is the rank of the threshold among all thresholds of the feature: a row
// to be predicted is ranked once, and then only whole numbers are compared. A
// value is a training row, where the leaf has one, or a leaf of several rows,
// whose mean is stored behind the targets of all rows. Adding up values in the
// order of the trees, every way to predict gives the same bits.
//
// # A grid
//
// PredictGrid sends all combinations of some levels down a tree at once. A set of
// them is a word, a box, with a bit for each level of each feature:
//
//	loads  actions        at a split on the load:
//	  ↓       ↓
//	1111 111111  ──►  left 0011 111111   right 1100 111111
//
// Nodes are met in the order in which they lie in memory, the boxes of a level
// standing in a queue, and a box that is empty ends its branch. At a leaf, a box
// says which combinations have its value. Grids too large for a word are divided
// (grid.go, box.go).
//
// # The same bytes everywhere
//
// On amd64 with AVX2 the inner loops are assembly, chosen at run time, which gives
// what the portable code gives. Products that are added are rounded first, by
// conversions that look needless: compilers may fuse them otherwise, and do for
// GOAMD64=v3 and arm64. TestGolden has hashes of whole forests.
//
// # Files
//
// A file is two lines of text, the format's version and a SHA-256 of all else,
// and the compressed content: a JSON header with settings and Meta, then per
// feature its levels and thresholds, the codes feature by feature, the targets,
// and per tree its number of nodes and, for each, the feature (a byte; 255 for a
// leaf) and the rank of the threshold. Numbers are varints, values 8 bytes, little
// endian. Damaged files are refused, and so are those that claim more than is
// there, before memory is taken for it.
package forest
