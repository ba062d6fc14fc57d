package objective

// Objectives of scaling. Cost is what a scenario's knobs cost per s.

// SLO is a goal at least cost: 1 for a step in which every service meets its goal
// by the given quantile of its response times, less price for each unit of cost,
// less twice the share of each service's requests that fail.
func SLO(name string, services []string, targets []Target, q Quantile, price float64) Objective {
	o := Objective{Name: name, Services: services, Targets: targets, Terms: []Term{
		{Product: []Factor{{Of: Met, Quantile: q}}},
		{Weight: -price, Product: []Factor{{Of: Cost}}},
	}}
	for _, s := range services {
		o.Terms = append(o.Terms, Term{Weight: -2, Product: []Factor{{Of: Failures, Service: s}}})
	}
	return o
}

// HardSLO is least cost under a hard goal: a step in which a service misses it by
// the given quantile is fined.
func HardSLO(name string, services []string, targets []Target, q Quantile, fine float64) Objective {
	return Objective{Name: name, Services: services, Targets: targets, Terms: []Term{
		{Weight: -fine, Product: []Factor{{Of: Missed, Quantile: q}}},
		{Weight: -1, Product: []Factor{{Of: Cost}}},
	}}
}

// TNSM4 is that of scenario 4 of Samani and Stadler (TNSM 2024, arXiv
// 2306.14178), where the cost is c1 + c2 cores:
// (2 - (c1 + c2 - 2)/8) exp(-10 max(0, d_1 - O_1, d_2 - O_2)), goals 0.2 s for
// compute and 0.15 s for information.
func TNSM4(compute, information string) Objective {
	grace := Factor{Of: Grace, Bound: 10}
	return Objective{Name: "tnsm-4", Services: []string{compute, information}, Targets: []Target{{Goal: .2}, {Goal: .15}}, Terms: []Term{
		{Weight: 2.25, Product: []Factor{grace}},
		{Weight: -.125, Product: []Factor{{Of: Cost}, grace}},
	}}
}

// TNSM5 is that of scenario 5 of the same, where the cost is c replicas and
// d' = d + 0.4 s: 6 - c where d' is at most 1 s, else 1 - d'.
func TNSM5(service string) Objective { return metElse("tnsm-5", service, .6, 6, 1) }

// NOMS2 is that of scenario 2 of Samani, Hammar and Stadler (NOMS 2024), where
// the cost is c of 5 cores: 1 - c/5 where d is at most 0.12 s, else 0.12 - d.
func NOMS2(service string) Objective { return metElse("noms-2", service, .12, 1, .2) }

// metElse pays so much less the priced cost where the goal is met, else the goal
// less the delay.
func metElse(name, service string, goal, pay, price float64) Objective {
	of := func(q Quantity) Factor { return Factor{Of: q, Service: service} }
	return Objective{Name: name, Services: []string{service}, Targets: []Target{{Goal: goal}}, Terms: []Term{
		{Weight: pay, Product: []Factor{of(Met)}},
		{Weight: -price, Product: []Factor{of(Met), {Of: Cost}}},
		{Weight: goal, Product: []Factor{of(Missed)}},
		{Weight: -1, Product: []Factor{of(Missed), of(Delay)}},
	}}
}

// NOMS1 is that of scenario 1 of the same, where the cost is c1 + c2 cores and
// weight1 and weight2 are the columns of the shares 1 - p that the services'
// second nodes get: (1 - (c1 + c2)/10)(1 - p1)(1 - p2) where both goals are met,
// 0.95 and 0.115 s, else -(d1 - 0.95)+ - (d2 - 0.115)+.
func NOMS1(service1, service2, weight1, weight2 string) Objective {
	shares := []Factor{{Of: Met}, {Of: Setting, Service: weight1}, {Of: Setting, Service: weight2}}
	return Objective{Name: "noms-1", Services: []string{service1, service2}, Targets: []Target{{Goal: .95}, {Goal: .115}}, Terms: []Term{
		{Product: shares},
		{Weight: -.1, Product: append([]Factor{{Of: Cost}}, shares...)},
		{Weight: -1, Product: []Factor{{Of: Late, Service: service1}}},
		{Weight: -1, Product: []Factor{{Of: Late, Service: service2}}},
	}}
}

// NOMS3 is that of scenario 3 of the same, where weight is the column of the
// share 1 - p of the second node: (1 - c/5)(1 - p) where d is at most 0.115 s,
// else 0.115 - d.
func NOMS3(service, weight string) Objective {
	of := func(q Quantity) Factor { return Factor{Of: q, Service: service} }
	share := Factor{Of: Setting, Service: weight}
	return Objective{Name: "noms-3", Services: []string{service}, Targets: []Target{{Goal: .115}}, Terms: []Term{
		{Product: []Factor{of(Met), share}},
		{Weight: -.2, Product: []Factor{of(Met), share, {Of: Cost}}},
		{Weight: .115, Product: []Factor{of(Missed)}},
		{Weight: -1, Product: []Factor{of(Missed), of(Delay)}},
	}}
}
