extension RoPE.Reference {
    /// x is [tokens, heads, size]; cos and sin are [sections, tokens, 2 half], as in `MultimodalRoPE`.
    package static func multimodal(
        _ x: [Double], heads: Int, size: Int, cos: [Double], sin: [Double], tokens: Int, sections: [Int],
        inverse: Bool
    ) -> [Double] {
        let half = sections.reduce(0, +)
        let planes = sections.enumerated().flatMap { [Int](repeating: $0.offset, count: $0.element) }
        return x.indices.map { i in
            let (token, place) = (i / size / heads, i % size)
            if place >= 2 * half { return x[i] }
            let pair = place % half, isFirst = place < half
            let angle = (planes[pair] * tokens + token) * 2 * half + pair
            let other = isFirst ? -x[i + half] : x[i - half]
            return x[i] * cos[angle] + other * (inverse ? -sin[angle] : sin[angle])
        }
    }

    /// x is [tokens, heads, 2 half]; rotations are [tokens of one sequence, half, 2], as in `InterleavedRoPE`.
    package static func interleaved(
        _ x: [Double], heads: Int, half: Int, rotations: [Double], inverse: Bool
    ) -> [Double] {
        x.indices.map { i in
            let pair = i / (2 * half * heads) * half + i / 2 % half
            let angle = 2 * pair % rotations.count
            let other = i % 2 == 0 ? -x[i + 1] : x[i - 1]
            return x[i] * rotations[angle] + other * (inverse ? -rotations[angle + 1] : rotations[angle + 1])
        }
    }
}
