/**
 * A canvas as sharp as the screen.
 *
 * @module
 */
import type { HTMLAttributes } from "preact"
import { useEffect, useRef } from "preact/hooks"
import { useSize } from "./hooks.ts"

/** How a canvas is drawn: in CSS pixels. */
export type Draw = (context: CanvasRenderingContext2D, width: number, height: number) => void

/** A canvas that fills its container and is drawn again when its size, or `draws`, changes. */
export const Canvas = (props: {
  readonly label: string
  readonly height: number
  readonly draw: Draw
  readonly draws: ReadonlyArray<unknown>
  readonly events?: HTMLAttributes<HTMLDivElement>
}) => {
  const host = useRef<HTMLDivElement>(null)
  const canvas = useRef<HTMLCanvasElement>(null)
  const { width } = useSize(host)
  useEffect(() => {
    const element = canvas.current
    const context = element?.getContext("2d")
    if (element === null || context == null || width === 0) return
    const ratio = devicePixelRatio
    element.width = Math.round(width * ratio)
    element.height = Math.round(props.height * ratio)
    context.setTransform(ratio, 0, 0, ratio, 0, 0)
    context.clearRect(0, 0, width, props.height)
    props.draw(context, width, props.height)
  }, [width, props.height, ...props.draws])
  return (
    <div ref={host} class="k-chart" style={{ height: `${props.height}px` }} {...props.events}>
      <canvas
        ref={canvas}
        role="img"
        aria-label={props.label}
        style={{ width: "100%", height: "100%", display: "block" }}
      />
    </div>
  )
}
