/** What can be searched. */
export type Entity =
  | "runs"
  | "experiments"
  | "registered-models"
  | "model-versions"
  | "logged-models"

/** How much of the grammar is taken: MLflow's own, or the superset. */
export type Grammar = "mlflow" | "ashlar"

/** How the points of a metric become one number; `last` is the greatest step, then time. */
export type Aggregate = "last" | "min" | "max" | "avg"

/** What a clause looks at; aliases are resolved. */
export interface Field {
  readonly type: "attribute" | "metric" | "param" | "tag" | "dataset"
  readonly key: string
  /** Metrics only. */
  readonly aggregate?: Aggregate
}

/** `=`, `!=` and orders of numbers. */
export type NumberComparator = ">" | ">=" | "=" | "!=" | "<" | "<="

/** Comparisons of texts with one text. `~` finds a regular expression anywhere in the text. */
export type TextComparator = "=" | "!=" | "LIKE" | "NOT LIKE" | "ILIKE" | "NOT ILIKE" | "~" | "!~"

/** One comparison. Missing values match `IS NULL` alone. */
export type Clause =
  | {
      readonly kind: "number"
      readonly field: Field
      readonly comparator: NumberComparator
      readonly value: number
    }
  | {
      readonly kind: "text"
      readonly field: Field
      readonly comparator: TextComparator
      readonly value: string
    }
  | {
      readonly kind: "in"
      readonly field: Field
      readonly comparator: "IN" | "NOT IN"
      readonly values: ReadonlyArray<string> | ReadonlyArray<number>
    }
  | {
      /** Both ends belong to it. */
      readonly kind: "between"
      readonly field: Field
      readonly comparator: "BETWEEN" | "NOT BETWEEN"
      readonly low: number
      readonly high: number
    }
  | {
      readonly kind: "null"
      readonly field: Field
      readonly comparator: "IS NULL" | "IS NOT NULL"
    }

/** A filter's tree: two-valued, `not` is true where its part is not. */
export type Expression =
  | Clause
  | { readonly kind: "and"; readonly parts: ReadonlyArray<Expression> }
  | { readonly kind: "or"; readonly parts: ReadonlyArray<Expression> }
  | { readonly kind: "not"; readonly part: Expression }

/** A filter that was understood. */
export interface Filter {
  readonly entity: Entity
  /** Every record matches without one. */
  readonly expression?: Expression
}

/** One sort key. */
export interface Order {
  readonly field: Field
  readonly direction: "asc" | "desc"
}

/** What a filter is evaluated on. Times are milliseconds, as the filter writes them. */
export interface FilterRecord {
  readonly attributes: Readonly<Record<string, string | number | undefined>>
  /** The last value of each metric. */
  readonly metrics?: Readonly<Record<string, number>>
  /** All values of each metric, for `min`, `max` and `avg`; without it, the last ones. */
  readonly histories?: Readonly<Record<string, ReadonlyArray<number>>>
  readonly params?: Readonly<Record<string, string>>
  readonly tags?: Readonly<Record<string, string>>
  readonly datasets?: ReadonlyArray<{
    readonly name: string
    readonly digest: string
    readonly context?: string
  }>
}
