import LigerKernels
import LigerRuntime
import Tile

extension MultimodalRoPE: Catalogued {
    package static let entry = CatalogueEntry(
        name: "MultimodalRoPE", summary: "as RoPE, sections of the pairs rotated by time, height and width",
        workload: { size in
            var samples = size.samples(seed: 15)
            let headSize = Swift.min(128, 2 * (size.columns / 2))
            let x = try samples.array([1, size.rows, size.columns / headSize, headSize], size.dtype)
            let sections = sections(of: headSize / 2)
            let angles = [sections.count, 1, size.rows, headSize]
            let cos = try samples.array(angles, size.dtype, in: -1...1)
            let sin = try samples.array(angles, size.dtype, in: -1...1)
            return Workload(shape: size.rowsByColumns, floorBytes: 4 * x.byteCount + 2 * cos.byteCount) {
                let y = try MultimodalRoPE.apply(x, cos: cos, sin: sin, sections: sections)
                _ = try MultimodalRoPE.apply(y, cos: cos, sin: sin, sections: sections, inverse: true)
            }
        },
        check: { point in
            var samples = point.samples
            let half = (point.columns + 1) / 2, size = 2 * half + 3, heads = 2
            let x = try samples.array([2, point.rows, heads, size], point.dtype)
            let sections = sections(of: half)
            let angles = [sections.count, 2, point.rows, 2 * half]
            let cos = try samples.array(angles, point.dtype, in: -1...1)
            let sin = try samples.array(angles, point.dtype, in: -1...1)
            let rotated = [false, true].map { inverse in
                RoPE.Reference.multimodal(
                    x.doubles, heads: heads, size: size, cos: cos.doubles, sin: sin.doubles,
                    tokens: 2 * point.rows, sections: sections, inverse: inverse)
            }
            let y = try MultimodalRoPE.apply(x, cos: cos, sin: sin, sections: sections)
            let back = try MultimodalRoPE.apply(x, cos: cos, sin: sin, sections: sections, inverse: true)
            return [
                point.result("y", y, rotated[0], terms: 2, scale: 4),
                point.result("back", back, rotated[1], terms: 2, scale: 4),
            ]
        })

    /// A quarter of the pairs for time, the rest for height and width; one section where there are few.
    private static func sections(of half: Int) -> [Int] {
        if half < 4 { return [half] }
        let time = half / 4, height = (half - time) / 2
        return [time, height, half - time - height]
    }
}

extension InterleavedRoPE: Catalogued {
    package static let entry = CatalogueEntry(
        name: "InterleavedRoPE", summary: "pairs (x_2i, x_2i+1) as complex numbers, times e^(i angle)",
        workload: { size in
            var samples = size.samples(seed: 16)
            let headSize = Swift.min(128, 2 * (size.columns / 2))
            let x = try samples.array([1, size.rows, size.columns / headSize, headSize], size.dtype)
            let rotations = try samples.array([1, size.rows, headSize / 2, 2], in: -1...1)
            return Workload(shape: size.rowsByColumns, floorBytes: 4 * x.byteCount + 2 * rotations.byteCount)
            {
                let y = try InterleavedRoPE.apply(x, rotations: rotations)
                _ = try InterleavedRoPE.apply(y, rotations: rotations, inverse: true)
            }
        },
        check: { point in
            var samples = point.samples
            let half = (point.columns + 1) / 2, heads = 2
            let x = try samples.array([2, point.rows, heads, 2 * half], point.dtype)
            let rotations = try samples.array([1, point.rows, half, 2], in: -1...1)
            let rotated = [false, true].map { inverse in
                RoPE.Reference.interleaved(
                    x.doubles, heads: heads, half: half, rotations: rotations.doubles, inverse: inverse)
            }
            let y = try InterleavedRoPE.apply(x, rotations: rotations)
            let back = try InterleavedRoPE.apply(x, rotations: rotations, inverse: true)
            return [
                point.result("y", y, rotated[0], terms: 2, scale: 4),
                point.result("back", back, rotated[1], terms: 2, scale: 4),
            ]
        })
}
