import Testing
import Tile

/// The floats of 8 bits, all of them: against their definition, and rounding against a search for the nearest.
@Suite struct Float8Tests {
    static let forms: [(form: Float8, bias: Int, mantissaBits: Int)] = [(.e4m3, 7, 3), (.e5m2, 15, 2)]

    @Test(arguments: 0..<2) func valuesAreThoseOfTheFormat(number: Int) {
        let (form, bias, bits) = Self.forms[number]
        for byte in UInt8.min...UInt8.max {
            let field = Int(byte & 0x7F) >> bits, fraction = Double(Int(byte) & (1 << bits - 1))
            let unit = Double(sign: .plus, exponent: max(field, 1) - bias - bits, significand: 1)
            let magnitude = (field == 0 ? fraction : fraction + Double(1 << bits)) * unit
            let found = form.value(byte)
            if bits == 3 ? byte & 0x7F == 0x7F : byte & 0x7F > 0x7C {
                #expect(found.isNaN)
            } else if bits == 2 && byte & 0x7F == 0x7C {
                #expect(found == (byte < 128 ? Float.infinity : -.infinity))
            } else {
                #expect(Double(found) == (byte < 128 ? magnitude : -magnitude))
                #expect(found.sign == (byte < 128 ? .plus : .minus))
                #expect(form.bits(found) == byte)
            }
        }
    }

    /// Each number, the ties between neighbours, and the floats next to the ties.
    @Test(arguments: 0..<2) func roundsToNearest(number: Int) {
        let (form, _, bits) = Self.forms[number]
        let most: UInt8 = bits == 3 ? 0x7E : 0x7B
        for byte in 0..<most {
            let (low, high) = (form.value(byte), form.value(byte + 1))
            let tie = (low + high) / 2, even = byte & 1 == 0 ? byte : byte + 1
            for (x, expected) in [
                (low, byte), (tie.nextDown, byte), (tie, even), (tie.nextUp, byte + 1), (high, byte + 1),
            ] {
                #expect(form.bits(x) == expected)
                #expect(form.bits(-x) == expected | 0x80)
            }
        }
        for beyond in [form.value(most).nextUp, 2 * form.value(most), .greatestFiniteMagnitude, .infinity] {
            #expect(form.bits(beyond) == most)
            #expect(form.bits(-beyond) == most | 0x80)
        }
        #expect(form.value(form.bits(.nan)).isNaN)
        #expect(form.bits(.leastNonzeroMagnitude) == 0)
    }
}
