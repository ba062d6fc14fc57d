package controller

import (
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics shows a status to Prometheus.
type metrics struct{ c *Controller }

// Describe describes what Collect collects.
func (m metrics) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect reads the status.
func (m metrics) Collect(ch chan<- prometheus.Metric) {
	s := m.c.Status()
	send := func(kind prometheus.ValueType, name, help string, value float64, labels ...string) {
		var names, values []string
		for k := 0; k < len(labels); k += 2 {
			names, values = append(names, labels[k]), append(values, labels[k+1])
		}
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("meshbench_run_"+name, help, names, nil), kind, value, values...)
	}
	count := func(name, help string, n int, labels ...string) {
		send(prometheus.CounterValue, name, help, float64(n), labels...)
	}
	gauge := func(name, help string, v float64, labels ...string) {
		send(prometheus.GaugeValue, name, help, v, labels...)
	}
	yes := map[bool]float64{true: 1}
	gauge("leader", "1 where this process has the lease of the testbed.", yes[s.Leading])
	gauge("policy_in_charge", "1 where the policy decides the next step.", yes[s.Charge == ByPolicy])
	for _, by := range []string{ByPolicy, ByFallback, ByOthers} {
		count("steps_total", "Steps by who was in charge.", s.Steps[by], "charge", by)
	}
	for _, to := range slices.Sorted(maps.Keys(s.Switched)) {
		count("switches_total", "Changes of who is in charge, by to whom.", s.Switched[to], "to", to)
	}
	count("failed_steps_total", "Steps that were not made or not measured.", s.Failed)
	count("missed_steps_total", "Steps in which a service missed its goal.", s.Missed)
	count("limited_steps_total", "Steps in which the policy got less than it wanted.", s.Limited)
	count("changes_total", "Steps in which what was asked for changed.", s.Changes)
	count("compared_steps_total", "Steps in which the policy's decision and what was in force are known.", s.Compared)
	count("agreed_steps_total", "Of those, in which they were the same.", s.Agreed)
	for _, x := range s.Checks {
		v := 0.0
		if x.Objection != "" {
			v = 1
		}
		gauge("objection", "1 where the check objects to the policy.", v, "check", x.Name)
		if x.Statistic != 0 {
			gauge("statistic", "Of a check that has one; 1 is an objection.", float64(x.Statistic), "check", x.Name)
		}
	}
	if age, ok := s.age(time.Now()); ok {
		gauge("measurement_age_seconds", "Real time since the last step that was measured.", age.Seconds())
	}
	e, ok := s.last()
	if !ok {
		return
	}
	for i := range e.Delay {
		service := serviceName(s.Names, i)
		gauge("load", "Offered load in the last step, requests/s.", float64(e.Load[i]), "service", service)
		gauge("carried", "Load that was let through in the last step, requests/s.", float64(e.Carried[i]), "service", service)
		gauge("delay_seconds", "Mean response time in the last step.", float64(e.Delay[i]), "service", service)
	}
}
