/// Tables in parquet, which this package does not read.
enum ParquetFile {
    /// - Throws: `TrainerError` (`dataUnreadable`) for a path that names one, with the line that converts it.
    static func refuse(_ path: String) throws {
        guard path.hasSuffix(".parquet") else { return }
        let lines = path.dropLast("parquet".count) + "jsonl"
        throw TrainerError(
            .dataUnreadable, "\(path) is a parquet file, which is not read.",
            remedy:
                "Convert it: python -c \"import pandas; pandas.read_parquet('\(path)').to_json('\(lines)', "
                + "orient='records', lines=True)\"")
    }
}
