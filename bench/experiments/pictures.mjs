// The experiments' pictures: a few points with the spread over seeds, as SVG. Drawn by ECharts, like the loss curves.
import { writeFileSync } from "node:fs";
import * as echarts from "echarts";

// Okabe and Ito's colours, which people who do not see red or green tell apart.
const COLORS = ["#333333", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9"];
const BAR = { width: 34, gap: 0.1 };
const text = {
  fontFamily: "DejaVu Sans, Verdana, Noto Sans CJK SC, Microsoft YaHei, PingFang SC, sans-serif",
  color: "#333333",
};
const axis = (name, nameGap) => ({
  type: "value",
  scale: true,
  name,
  nameGap,
  nameLocation: "middle",
  nameTextStyle: { ...text, fontSize: 12 },
  axisLabel: { ...text, fontSize: 11 },
  axisLine: { show: true, onZero: false, lineStyle: { color: "#333333" } },
  splitLine: { lineStyle: { color: "#e8e8e8" } },
});

/** Curves of points { x, y, label }, one a family; points of a family are joined. No line crosses a label: labels come last. */
export function drawCurves(file, { title, x, y, families }) {
  const series = families.map(({ name, points }, i) => ({
    type: "line",
    name,
    data: points.map((point) => ({
      value: [point.x, point.y],
    })),
    color: COLORS[i % COLORS.length],
    symbolSize: 7,
    lineStyle: { width: 1.6 },
  }));
  const labels = families.map(({ points, side = "right" }, i) => ({
    type: "scatter",
    data: points
      .filter(({ label }) => label !== undefined)
      .map((point) => ({ value: [point.x, point.y], label: { formatter: point.label } })),
    symbolSize: 1,
    color: "transparent",
    itemStyle: { opacity: 1 },
    z: 10,
    label: {
      ...text,
      show: true,
      position: side === "below right" ? "right" : side,
      offset: side === "below right" ? [0, 9] : [0, 0],
      distance: 7,
      fontSize: 10,
      color: COLORS[i % COLORS.length],
      backgroundColor: "#ffffff",
      padding: [0, 1],
    },
  }));
  const legend = { ...LEGEND, data: families.map(({ name }) => name) };
  draw(file, title, { xAxis: axis(x, 30), yAxis: axis(y, 46), legend, series: [...series, ...labels] });
}

/** A line over each bar from its value less its spread to its value and its spread. */
function spreadBars(values, spreads, at, count) {
  return {
    type: "custom",
    data: values.map((value, group) => [group, value]),
    z: 5,
    renderItem(_, api) {
      const group = api.value(0);
      const [middle] = api.coord([group, 0]);
      const step = BAR.width * (1 + BAR.gap);
      const x = middle + (at - (count - 1) / 2) * step;
      const ends = [-1, 1].map((sign) => api.coord([group, values[group] + sign * spreads[group]])[1]);
      const line = (x1, y1, x2, y2) => ({
        type: "line",
        shape: { x1, y1, x2, y2 },
        style: { stroke: "#333333" },
      });
      return {
        type: "group",
        children: [line(x, ends[0], x, ends[1]), ...ends.map((y) => line(x - 4, y, x + 4, y))],
      };
    },
  };
}

/**
 * Bars by group: `groups` along the axis, one bar each of `bars` { name, values, spreads }, with its value above it and, where
 * there are several seeds, their standard deviation as a line over its end.
 */
export function drawBars(file, { title, y, groups, bars }) {
  const series = bars.map(({ name, values }, i) => ({
    type: "bar",
    name,
    data: values,
    color: COLORS[(i + 1) % COLORS.length],
    barWidth: BAR.width,
    barGap: `${100 * BAR.gap}%`,
    label: {
      ...text,
      show: true,
      position: "top",
      distance: 7,
      fontSize: 9,
      formatter: ({ value }) => said(value),
    },
  }));
  const spread = bars.flatMap(({ values, spreads }, i) =>
    spreads === undefined ? [] : [spreadBars(values, spreads, i, bars.length)],
  );
  const legend = { ...LEGEND, data: bars.map((bar) => bar.name) };
  const category = { type: "category", data: groups, axisLabel: { ...text, fontSize: 11, interval: 0 } };
  draw(file, title, {
    xAxis: category,
    // room above the highest bar for its value, beneath the legend
    yAxis: { ...axis(y, 46), scale: false, max: roomAbove(bars.flatMap(({ values }) => values)) },
    legend,
    series: [...series, ...spread],
  });
}

/** The end of an axis that leaves a tenth of it above the highest of these values. */
function roomAbove(values) {
  const most = 1.1 * Math.max(...values);
  const step = most > 50 ? 20 : 2;
  return step * Math.ceil(most / step);
}

/** Percents as they are, bits per character to two digits. */
const said = (value) => (value >= 20 ? value.toFixed(0) : value.toFixed(2));

const LEGEND = { top: 34, itemGap: 16, itemWidth: 18, textStyle: { ...text, fontSize: 11 } };

function draw(file, title, options) {
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: 780, height: 440 });
  try {
    chart.setOption({
      animation: false,
      backgroundColor: "#ffffff",
      textStyle: text,
      title: {
        text: title,
        left: "center",
        top: 8,
        textStyle: { ...text, fontSize: 14, fontWeight: "normal" },
      },
      grid: { left: 66, right: 60, top: 64, bottom: 52 },
      legend: LEGEND,
      ...options,
    });
    writeFileSync(file, `${chart.renderToSVGString()}\n`);
  } finally {
    chart.dispose();
  }
}
