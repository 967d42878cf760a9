/**
 * Spans, metrics and logs by OpenTelemetry's own environment variables, and metrics as Prometheus
 * text.
 *
 * @module
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Tracer from "effect/Tracer"

/** Names of attributes whose values are never exported. */
const secretName =
  /(?:^|[._-])(?:password|passwd|passphrase|secret|authorization|cookie|credentials?|(?:access|api|auth|bearer|id|private|refresh|session)[._-]?(?:key|token)|token)s?$/i

/** Ashlar's own tokens, and passwords inside URLs, wherever they turn up in a text. */
const secretText = /\bash_[A-Za-z0-9-]+_[A-Za-z0-9_-]+|(?<=:\/\/[^\s/:@]*:)[^\s/@]+(?=@)/g

/**
 * An attribute's value as it may be exported: values of secret names, `Redacted` values, Ashlar
 * tokens and passwords in URLs become `<redacted>`.
 *
 * @example
 * ```ts
 * import { Telemetry } from "@ashlar/core"
 *
 * Telemetry.redact("db.url", "postgres://ada:lovelace@db/ml") // => "postgres://ada:<redacted>@db/ml"
 * Telemetry.redact("http.request.header.authorization", "Bearer x") // => "<redacted>"
 * Telemetry.redact("model.name", "delays") // => "delays"
 * ```
 */
export const redact = (name: string, value: unknown): unknown => {
  if (Redacted.isRedacted(value)) return "<redacted>"
  if (typeof value === "number" || typeof value === "boolean") return value
  if (secretName.test(name)) return "<redacted>"
  return typeof value === "string" ? value.replaceAll(secretText, "<redacted>") : value
}

const guard = (span: Tracer.Span): Tracer.Span => {
  const attribute = span.attribute.bind(span)
  const event = span.event.bind(span)
  return Object.assign(span, {
    attribute: (name: string, value: unknown) => attribute(name, redact(name, value)),
    event: (name: string, time: bigint, attributes: Record<string, unknown> = {}) =>
      event(
        name,
        time,
        Object.fromEntries(
          Object.entries(attributes).map(([key, value]) => [key, redact(key, value)]),
        ),
      ),
  })
}

/** A tracer that hands no secret in an attribute to the one it wraps. */
export const redacting = (tracer: Tracer.Tracer): Tracer.Tracer =>
  Tracer.make({
    span: (options) => guard(tracer.span(options)),
    ...(tracer.context === undefined ? {} : { context: tracer.context }),
  })

/** The specification exports by OTLP unless told otherwise; Effect waits to be told. */
const defaults = ConfigProvider.fromEnv({
  env: {
    OTEL_TRACES_EXPORTER: "otlp",
    OTEL_METRICS_EXPORTER: "otlp",
    OTEL_LOGS_EXPORTER: "otlp",
    OTEL_SERVICE_NAME: "ashlar",
  },
})

const protocol = Config.Literals(
  ["http/protobuf", "http/json"],
  "OTEL_EXPORTER_OTLP_PROTOCOL",
).pipe(Config.withDefault("http/protobuf"))

const isConfigured = Config.option(
  Config.orElse(Config.NonEmptyString("OTEL_EXPORTER_OTLP_ENDPOINT"), () =>
    Config.orElse(Config.NonEmptyString("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), () =>
      Config.orElse(Config.NonEmptyString("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"), () =>
        Config.NonEmptyString("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"),
      ),
    ),
  ),
)

/** Loaded only where telemetry is exported: it is a good part of a process's start. */
const load = Effect.promise(() =>
  Promise.all([
    import("effect/observability/Otlp"),
    import("effect/observability/OtlpSerialization"),
    import("effect/http/FetchHttpClient"),
  ]),
)

const redactingLayer = Layer.effect(Tracer.Tracer, Effect.map(Tracer.Tracer, redacting))

/**
 * Exports spans, metrics and logs over OTLP/HTTP to `OTEL_EXPORTER_OTLP_ENDPOINT`, and does nothing
 * when no endpoint is set. Follows the OpenTelemetry environment variables
 * (`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_EXPORTER_OTLP_HEADERS`,
 * `OTEL_EXPORTER_OTLP_PROTOCOL` as `http/protobuf` or `http/json`, `OTEL_SDK_DISABLED`, ...). Span
 * attributes pass through {@link redact}; what is pending is sent when the layer closes.
 */
export const layer: Layer.Layer<never, Config.ConfigError> = Layer.unwrap(
  Effect.gen(function* () {
    const configured = yield* isConfigured
    if (configured._tag === "None") return Layer.empty
    const encoding = yield* protocol
    const [otlp, serialization, http] = yield* load
    const exporters = otlp
      .layerFromConfig()
      .pipe(
        Layer.provide(http.layer),
        Layer.provide(
          encoding === "http/json" ? serialization.layerJson : serialization.layerProtobuf,
        ),
        Layer.provide(ConfigProvider.layerAdd(defaults)),
      )
    return Layer.provideMerge(redactingLayer, exporters)
  }),
)

/** Effect's metrics as Prometheus text; the HTTP kit serves it at `/metrics`. */
export const prometheus: Effect.Effect<string> = Effect.flatMap(
  Effect.promise(() => import("effect/observability/PrometheusMetrics")),
  (metrics) => metrics.format(),
)
