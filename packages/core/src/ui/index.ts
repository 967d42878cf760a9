/**
 * The UI kit: what the pages of the modules are made of. Shipped as source; each package bundles
 * what it uses. Needs `preact`, and for charts and long lists `uplot` and `@tanstack/virtual-core`.
 *
 * @module
 */
export { Canvas, type Draw } from "./canvas.tsx"
export {
  Alert,
  Badge,
  Button,
  Checkbox,
  Empty,
  Icon,
  IconButton,
  type IconName,
  Menu,
  Picker,
  Segments,
  Select,
  Spinner,
  Tabs,
  type Tone,
} from "./controls.tsx"
export { Dialog } from "./dialog.tsx"
export { formatBytes, formatCount, formatDuration, formatNumber, formatTime } from "./format.ts"
export { Grid, type GridColumn, type GridProps, type GridView } from "./grid.tsx"
export { type Loaded, useLoad, useRested, useSize, useWindow, type Windowed } from "./hooks.ts"
export { type Band, type Line, LineChart, type LineChartProps } from "./line-chart.tsx"
export { isDark, rampColor, seriesColor, token } from "./palette.ts"
