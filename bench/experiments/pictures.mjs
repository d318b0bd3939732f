// The experiments' pictures: a few points with the spread over seeds, as SVG. Drawn by ECharts, like the loss curves.
import { writeFileSync } from "node:fs";
import * as echarts from "echarts";

const COLORS = ["#333333", "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b"];
const text = { fontFamily: "DejaVu Sans, Verdana, sans-serif", color: "#333333" };
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

/** Curves of points { x, y, label }, one a family; points of a family are joined. */
export function drawCurves(file, { title, x, y, families }) {
  const series = families.map(({ name, points, side = "right" }, i) => ({
    type: "line",
    name,
    data: points.map((point) => ({
      value: [point.x, point.y],
      label: { show: point.label !== undefined, formatter: point.label ?? "", position: side },
    })),
    color: COLORS[i % COLORS.length],
    symbolSize: 7,
    lineStyle: { width: 1.6 },
    label: { ...text, fontSize: 9, color: COLORS[i % COLORS.length] },
  }));
  draw(file, title, { xAxis: axis(x, 30), yAxis: axis(y, 46), series });
}

/** Bars by group: `groups` along the axis, one bar each of `bars` { name, values }. */
export function drawBars(file, { title, y, groups, bars }) {
  const series = bars.map(({ name, values }, i) => ({
    type: "bar",
    name,
    data: values,
    color: COLORS[(i + 1) % COLORS.length],
    barMaxWidth: 34,
  }));
  const category = { type: "category", data: groups, axisLabel: { ...text, fontSize: 11 } };
  draw(file, title, { xAxis: category, yAxis: { ...axis(y, 46), scale: false }, series });
}

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
      legend: { top: 34, itemGap: 16, itemWidth: 18, textStyle: { ...text, fontSize: 11 } },
      ...options,
    });
    writeFileSync(file, `${chart.renderToSVGString()}\n`);
  } finally {
    chart.dispose();
  }
}
