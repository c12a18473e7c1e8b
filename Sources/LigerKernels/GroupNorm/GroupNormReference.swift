extension GroupNorm {
    /// The formulas in Double over plain arrays, sample by sample and group by group: what the kernels are
    /// checked against.
    package struct Reference {
        package let channels: Int
        package let places: Int
        package let groups: Int
        package let eps: Double

        package struct Gradient {
            package var dx: [Double], dw: [Double], db: [Double]
        }

        package init(channels: Int, places: Int, groups: Int, eps: Double) {
            self.channels = channels
            self.places = places
            self.groups = groups
            self.eps = eps
        }

        private var groupSize: Int { channels / groups * places }

        /// x̂ of every element, and r of every group.
        package func normalised(_ x: [Double]) -> (normal: [Double], rstd: [Double]) {
            var normal: [Double] = [], rstd: [Double] = []
            for start in stride(from: 0, to: x.count, by: groupSize) {
                let group = x[start..<(start + groupSize)]
                let mean = group.reduce(0, +) / Double(groupSize)
                let variance = group.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(groupSize)
                rstd.append(1 / (variance + eps).squareRoot())
                normal += group.map { ($0 - mean) / (variance + eps).squareRoot() }
            }
            return (normal, rstd)
        }

        package func forward(_ x: [Double], weight: [Double]?, bias: [Double]?) -> [Double] {
            normalised(x).normal.enumerated().map { i, normal in
                let channel = i / places % channels
                return normal * (weight?[channel] ?? 1) + (bias?[channel] ?? 0)
            }
        }

        package func backward(dy: [Double], x: [Double], weight: [Double]?) -> Gradient {
            let (normal, rstd) = normalised(x)
            let m = dy.enumerated().map { $1 * (weight?[$0 / places % channels] ?? 1) }
            let zeros = [Double](repeating: 0, count: channels)
            var gradient = Gradient(dx: x, dw: zeros, db: zeros)
            for (group, r) in rstd.enumerated() {
                let members = (group * groupSize)..<((group + 1) * groupSize)
                let mean = members.map { m[$0] }.reduce(0, +) / Double(groupSize)
                let slope = members.map { m[$0] * normal[$0] }.reduce(0, +) / Double(groupSize)
                for i in members {
                    gradient.dx[i] = r * (m[i] - mean - normal[i] * slope)
                    gradient.dw[i / places % channels] += dy[i] * normal[i]
                    gradient.db[i / places % channels] += dy[i]
                }
            }
            return gradient
        }
    }
}
