package main

import (
	"bytes"
	"fmt"
	"image/color"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// What the chart shows: streams, and AWS's SDK, which has none, with messages of
// the same length in memory.
const (
	chartStreams = "streams-16MiB"
	chartAWS     = "aws-16MiB"
)

var barColors = map[string]color.Color{
	encrypt: color.RGBA{0x2f, 0x6d, 0xb5, 0xff},
	decrypt: color.RGBA{0xe0, 0x8e, 0x3b, 0xff},
}

// drawChart returns an SVG of the throughput at 16 MiB, or nil if that was not
// measured.
func drawChart(outcomes []outcome) ([]byte, error) {
	names, values := chartBars(outcomes)
	if len(names) == 0 {
		return nil, nil
	}
	plot.DefaultFont.Variant = "Sans"
	plotter.DefaultFont.Variant = "Sans"
	p := plot.New()
	p.BackgroundColor = color.White // for pages that are dark
	p.Title.Text = fmt.Sprintf("16 MiB on %s, %d cores", cpuModel(), cores())
	p.Title.Padding = vg.Points(8)
	p.X.Label.Text = "MB/s"
	p.X.Min = 0
	p.X.Tick.Marker = plot.TickerFunc(thousands)
	p.NominalY(names...)
	p.Y.Padding = vg.Points(6)
	p.Y.Tick.Label.Font.Size = vg.Points(9)
	for i, op := range []string{encrypt, decrypt} {
		const width = 9
		bars, err := plotter.NewBarChart(values[op], vg.Points(width))
		if err != nil {
			return nil, err
		}
		bars.Horizontal = true
		bars.Color = barColors[op]
		bars.LineStyle.Width = 0
		bars.Offset = vg.Points(width * (0.5 - float64(i)))
		labels, err := barLabels(values[op])
		if err != nil {
			return nil, err
		}
		labels.Offset = vg.Point{X: vg.Points(3), Y: bars.Offset - vg.Points(width/2-1)}
		p.Add(bars, labels)
		p.Legend.Add(op, bars)
		for _, v := range values[op] {
			p.X.Max = max(p.X.Max, v*1.1) // room for the numbers
		}
	}

	p.Legend.Padding = vg.Points(3)
	p.Legend.ThumbnailWidth = vg.Points(12)

	w, err := p.WriterTo(18*vg.Centimeter, vg.Length(len(names))*vg.Centimeter+2*vg.Centimeter, "svg")
	if err != nil {
		return nil, err
	}
	var svg bytes.Buffer
	if _, err := w.WriteTo(&svg); err != nil {
		return nil, err
	}
	// Few browsers have the font that the text was laid out in; Arial has its
	// widths.
	return bytes.ReplaceAll(svg.Bytes(), []byte("font-family:Liberation Sans"),
		[]byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif")), nil
}

func thousands(_, max float64) []plot.Tick {
	var ticks []plot.Tick
	for v := 0.; v <= max; v += 1000 {
		ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%.0f", v)})
	}
	return ticks
}

// chartBars returns names and, for each direction, throughputs, from the bottom
// of the chart up.
func chartBars(outcomes []outcome) (names []string, values map[string]plotter.Values) {
	values = map[string]plotter.Values{}
	find := func(group string) *outcome {
		i := slices.IndexFunc(outcomes, func(o outcome) bool { return o.group == group })
		if i < 0 {
			return &outcome{}
		}
		return &outcomes[i]
	}
	add := func(o *outcome, who string) {
		sealed, opened := o.find(key{who, encrypt}), o.find(key{who, decrypt})
		if sealed == nil || opened == nil || slices.Contains(names, who) {
			return
		}
		names = append(names, who)
		values[encrypt] = append(values[encrypt], sealed.megabytes())
		values[decrypt] = append(values[decrypt], opened.megabytes())
	}
	streams := find(chartStreams)
	if len(streams.speeds) == 0 {
		return nil, nil
	}
	add(find(chartAWS), awsName)
	for _, s := range slices.Backward(streams.speeds) {
		add(streams, s.who)
	}
	return names, values
}

// barLabels returns the numbers at the ends of the bars.
func barLabels(values plotter.Values) (*plotter.Labels, error) {
	var l plotter.XYLabels
	for i, v := range values {
		l.XYs = append(l.XYs, plotter.XY{X: v, Y: float64(i)})
		l.Labels = append(l.Labels, fmt.Sprintf("%.0f", v))
	}
	labels, err := plotter.NewLabels(l)
	if err != nil {
		return nil, err
	}
	for i := range labels.TextStyle {
		labels.TextStyle[i].Font.Size = vg.Points(8)
	}
	return labels, nil
}
