import type { Database } from "@ashlar/core"
import { sql } from "kysely"

/**
 * One tree of files by path, over contents that are stored once. A content's blob has a key of its
 * own: a new blob never has the key of one that is being removed.
 */
export const migration: Database.Migration = {
  id: "0008-files",
  up: (build, dialect) => [
    build.schema
      .createTable("registry_file")
      .addColumn("path", "text", (c) => c.primaryKey())
      .addColumn("digest", "text", (c) => c.notNull())
      .addColumn("size", "bigint", (c) => c.notNull())
      .addColumn("created", "bigint", (c) => c.notNull()),
    build.schema.createIndex("registry_file_digest").on("registry_file").columns(["digest"]),
    build.schema
      .createTable("registry_blob")
      .addColumn("digest", "text", (c) => c.primaryKey())
      .addColumn("key", "text", (c) => c.notNull())
      .addColumn("size", "bigint", (c) => c.notNull())
      .addColumn("blocks", "blob")
      .addColumn("touched", "bigint", (c) => c.notNull()),
    build.schema.createIndex("registry_blob_key").unique().on("registry_blob").columns(["key"]),
    build.schema
      .createTable("registry_upload")
      .addColumn("id", "text", (c) => c.primaryKey())
      .addColumn("path", "text", (c) => c.notNull())
      .addColumn("key", "text", (c) => c.notNull())
      .addColumn("native", "text")
      .addColumn("parts", "bigint", (c) => c.notNull())
      .addColumn("digest", "text")
      .addColumn("touched", "bigint", (c) => c.notNull()),
    build.schema
      .createIndex("registry_upload_touched")
      .on("registry_upload")
      .columns(["touched", "id"]),
    build.schema.createIndex("registry_upload_key").on("registry_upload").columns(["key"]),
    build.schema
      .createTable("registry_signing")
      .addColumn("id", "bigint", (c) => c.primaryKey())
      .addColumn("secret", "text", (c) => c.notNull()),
    sql`insert into registry_file (path, digest, size, created)
      select r.experiment || '/' || r.id || '/artifacts/' || a.path, a.digest, a.size, r.started
      from registry_artifact a join registry_run r on r.id = a.run`,
    sql`insert into registry_blob (digest, key, size, touched)
      select digest, 'blobs/sha256/' || substr(digest, 8, 2) || '/' || substr(digest, 8),
        max(size), 0 from registry_artifact group by digest`,
    dialect === "sqlite"
      ? sql`insert into registry_blob (digest, key, size, touched)
          select d, 'blobs/sha256/' || substr(d, 8, 2) || '/' || substr(d, 8), s, 0 from (
            select json_extract(f.value, '$.digest') as d, max(json_extract(f.value, '$.size')) as s
            from registry_version v, json_each(v.files) f group by 1
          ) where true on conflict do nothing`
      : sql`insert into registry_blob (digest, key, size, touched)
          select d, 'blobs/sha256/' || substr(d, 8, 2) || '/' || substr(d, 8), s, 0 from (
            select f->>'digest' as d, max((f->>'size')::bigint) as s
            from registry_version v, json_array_elements(v.files::json) f group by 1
          ) as found on conflict do nothing`,
    // Versions' files are found where MLflow's clients look for them.
    dialect === "sqlite"
      ? sql`insert into registry_file (path, digest, size, created)
          select 'registered-models/' || v.model || '/' || v.version || '/' ||
            json_extract(f.value, '$.path'), json_extract(f.value, '$.digest'),
            json_extract(f.value, '$.size'), v.created
          from registry_version v, json_each(v.files) f where true on conflict do nothing`
      : sql`insert into registry_file (path, digest, size, created)
          select 'registered-models/' || v.model || '/' || v.version || '/' || (f->>'path'),
            f->>'digest', (f->>'size')::bigint, v.created
          from registry_version v, json_array_elements(v.files::json) f on conflict do nothing`,
    build.schema.dropTable("registry_artifact"),
  ],
}

/** A row of `registry_file`. */
export interface FileRow {
  /** The whole path, e.g. `<experiment>/<run>/artifacts/model/MLmodel`. */
  readonly path: string
  readonly digest: string
  readonly size: number
  readonly created: number
}

/** A row of `registry_blob`: where a content lies. */
export interface BlobRow {
  readonly digest: string
  readonly key: string
  readonly size: number
  /** Checksums of its blocks; NULL of contents from before version 0008. */
  readonly blocks: Uint8Array | null
  /** When it was last given to somebody; what nobody refers to is kept for a while after. */
  readonly touched: number
}

/** A row of `registry_upload`: a file that comes in parts. */
export interface UploadRow {
  readonly id: string
  readonly path: string
  /** Of the blob that it becomes. */
  readonly key: string
  /** The blob store's own id; NULL where each part is a blob until the upload completes. */
  readonly native: string | null
  readonly parts: number
  /** Of the content, once it is complete. */
  readonly digest: string | null
  readonly touched: number
}

/** The tables of this migration. */
export interface FileTables {
  readonly registry_file: FileRow
  readonly registry_blob: BlobRow
  readonly registry_upload: UploadRow
  readonly registry_signing: { id: number; secret: string }
}
