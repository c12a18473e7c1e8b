import LigerCatalogue
@main struct Liger { static func main() throws {
    let size = BenchmarkSize()
    let w = try [("copy", Benchmark.copyWorkload())] + Catalogue.entries.map { ($0.name, try $0.workload!(size)) }
    for r in try Benchmark.run(w, rounds: 15) { print(r.name, r.shape, r.median * 1e3, r.spread, r.rate / 1e9) }
} }
