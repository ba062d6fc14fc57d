package study

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// README's table of the trial on the local testbed is that of the committed runs:
// the interquartile means of figures/trial-local.csv.
func TestReadmeTrial(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(root, "figures", "trial-local.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for k, name := range rows[0] {
		column[name] = k
	}
	values := map[string]string{}
	for _, r := range rows[1:] {
		v, _, _ := strings.Cut(r[column["ANR"]], " ")
		values[r[column["objective"]]+" "+r[column["policy"]]+" "+r[column["load"]]] = v
	}
	found := 0
	for _, objective := range []string{"MO1", "MO2", "MO3"} {
		for _, load := range []string{"random", "sinusoidal"} {
			line := regexp.MustCompile(`(?m)^\| ` + objective + ` \| ` + load + ` \| ([0-9.| ]+) \|$`).FindStringSubmatch(string(readme))
			if line == nil {
				t.Fatalf("README has no row of %s, %s load", objective, load)
			}
			cells := strings.Split(line[1], " | ")
			for k, policy := range []string{"ppo", "greedy", "constant", "proportional", "random"} {
				if want := values[objective+" "+policy+" "+load]; cells[k] != want {
					t.Errorf("%s, %s, %s load: README says %s, figures/trial-local.csv %s", objective, policy, load, cells[k], want)
				}
				found++
			}
		}
	}
	if found != 30 {
		t.Errorf("%d cells compared", found)
	}
}
