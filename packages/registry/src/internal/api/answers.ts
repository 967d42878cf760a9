/** The answers of the pages' API, as JSON. Shared with the pages, so it imports nothing. */

/** A number in JSON; those that JSON has not are text. */
export type WireNumber = number | "NaN" | "Infinity" | "-Infinity"

/** A page of a list. */
export interface PageOf<A> {
  readonly items: ReadonlyArray<A>
  readonly next?: string
}

/** An experiment. Times are ISO 8601. */
export interface ExperimentAnswer {
  readonly id: string
  readonly name: string
  readonly created: string
  readonly updated: string
  readonly tags: Readonly<Record<string, string>>
}

/** Every key that runs of some experiments have. */
export interface KeysAnswer {
  readonly metrics: ReadonlyArray<string>
  readonly params: ReadonlyArray<string>
  readonly tags: ReadonlyArray<string>
}

/** A run as a row: its values are asked for column by column. */
export interface RunRowAnswer {
  readonly runId: string
  readonly experimentId: string
  readonly name: string
  readonly status: string
  readonly user: string
  readonly started: string
  readonly ended?: string
}

/** A column: a value for each run asked for, in their order; null where it has none. */
export interface ColumnAnswer<Value> {
  readonly key: string
  readonly values: ReadonlyArray<Value | null>
}

/** Columns of runs. */
export interface ValuesAnswer {
  readonly metrics: ReadonlyArray<ColumnAnswer<WireNumber>>
  readonly params: ReadonlyArray<ColumnAnswer<string>>
  readonly tags: ReadonlyArray<ColumnAnswer<string>>
}

/** A metric's history, thinned to the points asked for. Times are milliseconds since 1970. */
export interface SeriesAnswer {
  readonly runId: string
  readonly key: string
  readonly steps: ReadonlyArray<number>
  readonly times: ReadonlyArray<number>
  readonly values: ReadonlyArray<WireNumber>
}

/** Histories. */
export interface HistoriesAnswer {
  readonly series: ReadonlyArray<SeriesAnswer>
}

/** A metric of a run. */
export interface MetricAnswer {
  readonly key: string
  readonly value: WireNumber
  readonly step: number
  /** ISO 8601. */
  readonly time: string
}

/** A file of a run. */
export interface ArtifactAnswer {
  readonly path: string
  readonly size: number
  readonly digest: string
}

/** A run with everything known about it. */
export interface RunAnswer extends RunRowAnswer {
  readonly params: Readonly<Record<string, string>>
  readonly tags: Readonly<Record<string, string>>
  readonly metrics: ReadonlyArray<MetricAnswer>
  readonly inputs: ReadonlyArray<{
    readonly name: string
    readonly digest: string
    readonly uri: string
    readonly context: string
    readonly rows?: number
  }>
}

/** The beginning of an artifact as text; absent where it is none. */
export interface PreviewAnswer {
  readonly path: string
  readonly size: number
  readonly kind: "text" | "json" | "csv" | "image" | "binary"
  readonly truncated: boolean
  readonly text?: string
}

/** A registered version. */
export interface VersionAnswer {
  readonly name: string
  readonly version: number
  /** Absent where the files lie elsewhere; so is the flavor. */
  readonly digest?: string
  readonly flavor?: string
  readonly aliases: ReadonlyArray<string>
  readonly runId?: string
  readonly description: string
  readonly tags: Readonly<Record<string, string>>
  readonly created: string
  readonly files: ReadonlyArray<{ readonly path: string; readonly size: number }>
  readonly inputs: ReadonlyArray<ColumnSpecAnswer>
  readonly outputs: ReadonlyArray<ColumnSpecAnswer>
}

/** An input or output of a model. */
export interface ColumnSpecAnswer {
  readonly name: string
  readonly datatype: string
  readonly shape: ReadonlyArray<number>
}

/** A registered model in a list. */
export interface ModelRowAnswer {
  readonly name: string
  readonly description: string
  readonly created: string
  readonly updated: string
  readonly aliases: Readonly<Record<string, number>>
}

/** Something that happened to a model. */
export interface HistoryAnswer {
  readonly position: number
  readonly time: string
  readonly action: string
  readonly detail: unknown
}

/** A registered model. */
export interface ModelAnswer extends ModelRowAnswer {
  readonly tags: Readonly<Record<string, string>>
  readonly versions: ReadonlyArray<VersionAnswer>
  /** Aliases that a policy protects, with the policy. */
  readonly policies: Readonly<Record<string, unknown>>
  readonly history: ReadonlyArray<HistoryAnswer>
}

/** A request that an alias or a stage gets a version. */
export interface PromotionAnswer {
  readonly id: string
  readonly kind: "promotion" | "rollback"
  readonly name: string
  readonly version: number
  readonly alias?: string
  readonly stage?: string
  readonly status: "open" | "promoted" | "refused" | "rejected"
  readonly requester: string
  readonly reason?: string
  readonly gates: ReadonlyArray<{
    readonly gate: string
    readonly passed: boolean
    /** Nothing speaks against it: somebody still has to vote, or a test to report. */
    readonly pending?: boolean
    readonly checks: ReadonlyArray<{
      readonly name: string
      readonly passed: boolean
      readonly message: string
    }>
  }>
  readonly votes: ReadonlyArray<{
    readonly by: string
    readonly vote: "approve" | "reject"
    readonly comment?: string
    readonly time: string
  }>
  readonly created: string
}

/** A node of the lineage graph. */
export interface NodeAnswer {
  readonly id: string
  readonly kind: "dataset" | "job" | "run" | "version" | "alias"
  readonly label: string
  /** Whether the walk began here. */
  readonly isStart: boolean
  readonly detail?: string
  /** The run or model that a page shows. */
  readonly link?: { readonly run?: string; readonly model?: string; readonly version?: number }
}

/** A lineage graph: what came from what. */
export interface GraphAnswer {
  readonly nodes: ReadonlyArray<NodeAnswer>
  readonly edges: ReadonlyArray<{ readonly from: string; readonly to: string }>
  /** Whether there is more than is shown. */
  readonly truncated: boolean
}

/** A saved view. */
export interface ViewAnswer {
  readonly id: string
  readonly page: string
  readonly scope: string
  readonly name: string
  readonly state: string
  readonly owner: string
  readonly updated: string
}

/** What an event of the live stream says. */
export interface LiveAnswer {
  /** Runs that went on or changed their status. */
  readonly changed: ReadonlyArray<string>
  /** Runs that are new. */
  readonly added: ReadonlyArray<string>
}
