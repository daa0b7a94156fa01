// Runs the SQL statements that come as a JSON array on stdin, one after the
// other in one DuckDB, and prints the rows and milliseconds of each as JSON.
const { DuckDBInstance } = require('@duckdb/node-api');

(async () => {
  const input = JSON.parse(require('fs').readFileSync(0, 'utf8'));
  const connection = await (await DuckDBInstance.create(':memory:')).connect();
  const out = [];
  for (const sql of input) {
    const began = process.hrtime.bigint();
    const result = await connection.runAndReadAll(sql);
    out.push({ rows: result.getRowsJson(), ms: Number(process.hrtime.bigint() - began) / 1e6 });
  }
  console.log(JSON.stringify(out));
})().catch((e) => { console.error(e.message); process.exit(1); });
